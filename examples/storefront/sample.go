package main

import (
	"fmt"
	"time"
)

// How much there is of everything: about 59,000 rows.
const (
	sampleAccounts  = 500
	sampleProducts  = 2000
	sampleUsers     = 2  // of each account
	sampleOrders    = 20 // of each account
	sampleLines     = 2  // of each order
	sampleListings  = 8  // of each account in each country
	sampleFirstDate = "2025-11-01T08:00:00Z"
)

var sampleCountries = []Country{
	{Code: "jp", Currency: "JPY", VATPercent: 10, ShippingCents: 60000},
	{Code: "de", Currency: "EUR", VATPercent: 19, ShippingCents: 490},
	{Code: "fr", Currency: "EUR", VATPercent: 20, ShippingCents: 590},
	{Code: "us", Currency: "USD", VATPercent: 0, ShippingCents: 895},
	{Code: "br", Currency: "BRL", VATPercent: 17, ShippingCents: 2500},
	{Code: "in", Currency: "INR", VATPercent: 18, ShippingCents: 9900},
}

// A sample is the data the shop begins with, the same each time.
type sample struct {
	users    []User
	products []Product
	listings []listing
	stock    []Stock
	orders   []Order
}

// listing says that an account may buy a product in a country.
type listing struct{ account, country, product string }

func newSample() *sample {
	s := new(sample)
	for i := range sampleProducts {
		s.products = append(s.products, sampleProduct(i))
		s.stock = append(s.stock, Stock{Product: s.products[i].ID, Available: i * 37 % 250})
	}
	for a := range sampleAccounts {
		s.addAccount(a, fmt.Sprintf("acc_%03d", a+1))
	}
	return s
}

func sampleProduct(i int) Product {
	looks := []string{"red", "blue", "small", "large", "quiet", "folding", "wooden"}
	things := []string{"lamp", "chair", "kettle", "clock", "shelf", "radio", "teapot", "desk", "mirror", "fan", "basket"}
	return Product{
		ID:         fmt.Sprintf("prd_%04d", i+1),
		Name:       looks[i%len(looks)] + " " + things[i%len(things)],
		PriceCents: 500 + int64(i)*997%9500,
	}
}

func (s *sample) addAccount(a int, account string) {
	for u := range sampleUsers {
		s.users = append(s.users, User{ExternalID: fmt.Sprintf("idp|user_%04d", a*sampleUsers+u+1), Account: account})
	}
	for c, country := range sampleCountries {
		for k := range sampleListings {
			i := ((a*len(sampleCountries)+c)*sampleListings + k) % sampleProducts
			s.listings = append(s.listings, listing{account, country.Code, s.products[i].ID})
		}
	}
	first, _ := time.Parse(time.RFC3339, sampleFirstDate)
	for o := range sampleOrders {
		order := Order{
			Account: account, ID: fmt.Sprintf("ord_%02d", o+1),
			Status: []string{"placed", "paid", "shipped"}[(a+o)%3],
			Placed: first.Add(time.Duration(a*sampleOrders+o) * time.Minute),
		}
		for l := range sampleLines {
			p := s.products[(a*31+o*7+l)%sampleProducts]
			order.Lines = append(order.Lines, OrderLine{Product: p.ID, Title: p.Name, Quantity: l + 1, PriceCents: p.PriceCents})
		}
		s.orders = append(s.orders, order)
	}
}
