savepoint attempt;
