DROP TABLE usage_months;
DROP TABLE usage_sums;
