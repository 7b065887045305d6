release attempt; -- noqa: PRS
