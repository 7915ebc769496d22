DROP TABLE foreign_identities;
