savepoint attempt; -- noqa: PRS
