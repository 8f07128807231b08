CREATE TABLE products (
	id          text PRIMARY KEY,
	name        text NOT NULL,
	price_cents bigint NOT NULL
);
CREATE TABLE basket_items (
	basket   text,
	product  text REFERENCES products,
	quantity bigint NOT NULL,
	PRIMARY KEY (basket, product)
);
INSERT INTO products VALUES ('prd_1', 'tea', 300), ('prd_2', 'mug', 900);
INSERT INTO basket_items VALUES ('bsk_1', 'prd_1', 2), ('bsk_1', 'prd_2', 1), ('bsk_2', 'prd_1', 1);
