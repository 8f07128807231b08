CREATE SCHEMA IF NOT EXISTS storefront;

CREATE TABLE storefront.users (
    external_id text PRIMARY KEY,
    account     text NOT NULL
);

CREATE TABLE storefront.countries (
    code           text PRIMARY KEY,
    currency       text NOT NULL,
    vat_percent    int NOT NULL,
    shipping_cents bigint NOT NULL
);

CREATE TABLE storefront.products (
    id          text PRIMARY KEY,
    name        text NOT NULL,
    price_cents bigint NOT NULL CHECK (price_cents > 0)
);

CREATE TABLE storefront.stock (
    product   text PRIMARY KEY REFERENCES storefront.products ON DELETE CASCADE,
    available int NOT NULL
);

CREATE TABLE storefront.listings (
    account text,
    country text REFERENCES storefront.countries ON DELETE CASCADE,
    product text REFERENCES storefront.products ON DELETE CASCADE,
    PRIMARY KEY (account, country, product)
);
CREATE INDEX ON storefront.listings (product);

-- The account is part of the keys, so that a deleted row still says whose it was.
CREATE TABLE storefront.orders (
    account text,
    id      text,
    status  text NOT NULL,
    placed  timestamptz NOT NULL,
    PRIMARY KEY (account, id)
);

CREATE TABLE storefront.order_lines (
    account     text,
    order_id    text,
    line        int,
    product     text NOT NULL,
    title       text NOT NULL,
    quantity    int NOT NULL,
    price_cents bigint NOT NULL,
    PRIMARY KEY (account, order_id, line),
    FOREIGN KEY (account, order_id) REFERENCES storefront.orders ON DELETE CASCADE
);
