// Package guides holds the code of docs/best-practices.md and docs/strategies.md, and the tests that keep the guides for users true: each
// block of Go in them is code of this repository that is compiled and run, and the commands of docs/getting-started.md print what it says.
package guides
