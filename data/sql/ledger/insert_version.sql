-- Parameters: $version.
insert into store_version (version)
values ($version);
