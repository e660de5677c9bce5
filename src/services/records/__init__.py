"""A service that keeps records in MariaDB, by PyMySQL."""
