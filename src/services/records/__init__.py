"""A service that keeps records in MariaDB, with PyMySQL."""
