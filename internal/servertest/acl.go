package servertest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// rulesVar has the rules of the user that a test binary is run as.
const rulesVar = "TANDEM_TEST_ACL"

// The user that servers have besides the default one when a test binary is run
// by [RunAsUser].
const (
	userName     = "tandem"
	userPassword = "secret"
)

// User returns the user and password that a test gives to the code under test:
// both empty, unless the test binary is run by [RunAsUser].
func User() (name, password string) {
	if os.Getenv(rulesVar) == "" {
		return "", ""
	}
	return userName, userPassword
}

// userArgs make the user.
func userArgs() []string {
	rules := os.Getenv(rulesVar)
	if rules == "" {
		return nil
	}
	return append([]string{"--user", userName, "on", ">" + userPassword}, strings.Fields(rules)...)
}

// RunAsUser runs tests of this binary once more, in a process of their own, in
// which [User] is a user of Redis with the rules. At least as many as atLeast
// have to pass, and none may fail.
func RunAsUser(t *testing.T, rules []string, tests string, atLeast int) {
	t.Helper()
	if os.Getenv(rulesVar) != "" {
		t.Skip("runs as the user already")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", tests, "-test.v")
	cmd.Env = append(os.Environ(), rulesVar+"="+strings.Join(rules, " "))
	out, err := cmd.CombinedOutput()
	if passed := strings.Count(string(out), "\n--- PASS: "); err != nil || passed < atLeast {
		t.Errorf("%v; %d tests passed, want at least %d:\n%s", err, passed, atLeast, out[max(0, len(out)-8000):])
	}
}

// SmallestACL returns the rules that docs/redis.md has for a user, for the cache
// called name. page is the path of that file.
func SmallestACL(t testing.TB, page, name string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "ACL SETUSER storefront on >PASSWORD ")
	block, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatalf("%s has no rules", page)
	}
	return strings.Fields(strings.ReplaceAll(strings.ReplaceAll(block, "\\\n", " "), "storefront", name))
}
