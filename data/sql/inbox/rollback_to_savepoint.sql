rollback to attempt; -- noqa: PRS
