DROP TABLE error_hours;
