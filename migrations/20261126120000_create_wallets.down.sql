DROP TABLE wallets;
DROP TABLE wallet_challenges;
