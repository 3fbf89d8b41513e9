#!/bin/sh
# Makes facepool's role, database and schema in a new PostgreSQL server; what only an administrator may do is done here,
# so that the role owns nothing but its schema. The image of PostgreSQL runs it once, as its administrator.
set -eu
password=$(cat "${FACEPOOL_PASSWORD_FILE:-/run/secrets/facepool-password}")

# The password goes in by standard input: not into the list of processes, and not into the server's log.
psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<END
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SET log_min_duration_statement = -1;
CREATE ROLE facepool LOGIN PASSWORD '$(printf %s "$password" | sed "s/'/''/g")';
CREATE DATABASE facepool OWNER facepool TEMPLATE template0 ENCODING 'UTF8';
REVOKE ALL ON DATABASE facepool FROM PUBLIC;
ALTER ROLE facepool SET log_parameter_max_length = 0;
\connect facepool
CREATE EXTENSION vector;
CREATE SCHEMA facepool AUTHORIZATION facepool;
ALTER DATABASE facepool SET search_path = facepool, public;
GRANT CREATE ON DATABASE facepool TO facepool;
END
