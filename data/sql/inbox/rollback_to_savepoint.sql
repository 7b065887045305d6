rollback to attempt;
