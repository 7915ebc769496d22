DROP TABLE anonymous_usage;
DROP TABLE erased_identities;
DROP TABLE account_erasures;
