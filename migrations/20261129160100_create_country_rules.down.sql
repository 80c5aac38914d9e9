DROP TABLE country_rules;
