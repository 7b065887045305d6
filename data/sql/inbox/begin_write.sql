begin immediate; -- noqa: PRS
