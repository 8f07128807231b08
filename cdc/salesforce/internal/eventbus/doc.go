// Package eventbus is Salesforce's Pub/Sub API on the wire. All but this file is generated from eventbus.proto, by
// buf, protoc-gen-go and protoc-gen-go-grpc on the PATH.
package eventbus

//go:generate buf generate
