release attempt;
