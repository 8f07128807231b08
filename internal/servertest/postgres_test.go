package servertest_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/internal/servertest"
)

func TestPostgresAnswers(t *testing.T) {
	pg := servertest.StartPostgres(t, "wal_sender_timeout=1s", "application_name=it's")
	for setting, want := range map[string]string{
		"wal_level":          "logical",
		"wal_sender_timeout": "1s",
		"data_directory":     pg.Dir,
		"listen_addresses":   "127.0.0.1",
	} {
		if got := query(t, pg.URL, "SHOW "+setting); got != want {
			t.Errorf("%s is %q; want %q", setting, got, want)
		}
	}
}

func TestPostgresKeepsAddressAndData(t *testing.T) {
	pg := servertest.StartPostgres(t)
	query(t, pg.URL, "CREATE TABLE kept AS SELECT 7 AS n")
	for name, again := range map[string]func(){
		"restart":        pg.Restart,
		"stop and start": func() { pg.Stop(); pg.Start() },
		"kill and start": func() { pg.Kill(); pg.Start() },
	} {
		again()
		if got := query(t, pg.URL, "SELECT n FROM kept"); got != "7" {
			t.Errorf("%s: got %q; want 7", name, got)
		}
	}
}

func TestPostgresSet(t *testing.T) {
	pg := servertest.StartPostgres(t)
	pg.Set("synchronous_standby_names", "*")
	deadline := time.Now().Add(time.Minute)
	for query(t, pg.URL, "SHOW synchronous_standby_names") != "*" {
		if time.Now().After(deadline) {
			t.Fatal("the setting did not arrive within a minute")
		}
	}
}

func TestPostgresServersDiffer(t *testing.T) {
	const id = "SELECT system_identifier FROM pg_control_system()"
	seen := make(map[string]bool)
	for range 3 { // the first may be from initdb, others are copies
		seen[query(t, servertest.StartPostgres(t).URL, id)] = true
	}
	if len(seen) != 3 {
		t.Errorf("three servers have the system identifiers %v", seen)
	}
}

func TestPostgresBadSetting(t *testing.T) {
	for setting, want := range map[string]string{
		"wal_level":         "want name=value",
		"no_such_setting=1": "no_such_setting",
	} {
		_, err := servertest.NewPostgres(openDir(t), setting)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("setting %q: got %v; want %q in it", setting, err, want)
		}
	}
}

// query runs one statement and returns the first value of its answer.
func query(t *testing.T, url, statement string) string {
	t.Helper()
	psql, err := servertest.Tool("psql")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(psql, "--no-psqlrc", "-qtA", "-c", statement, url).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", statement, err, out)
	}
	return strings.TrimSpace(string(out))
}
