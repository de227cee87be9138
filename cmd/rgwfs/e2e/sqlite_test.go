package e2e

import (
	"fmt"
	"strings"
	"testing"

	"rgwfs/s3backend/s3test"
)

// sqlite3 keeps a database on the mount: with a rollback journal, and with a
// write-ahead log.
func TestSqlite(t *testing.T) {
	need(t, "sqlite3")
	for _, journal := range []string{"delete", "truncate", "persist", "wal"} {
		t.Run(journal, func(t *testing.T) {
			s := newServer(t, s3test.RGW(t))
			m := newMount(t, s)
			sql := func(statements string) string {
				t.Helper()
				return strings.TrimSuffix(run(t, m.dir, "sqlite3", "-bail", "data.db", statements), "\n")
			}
			if mode := sql("PRAGMA journal_mode=" + journal); mode != journal {
				t.Fatalf("journal mode %s, want %s", mode, journal)
			}
			// Only a write-ahead log is remembered in the database itself.
			mode := "PRAGMA journal_mode=" + journal + ";"
			var inserts strings.Builder
			for i := range 200 {
				fmt.Fprintf(&inserts, "INSERT INTO t VALUES (%d, 'text of row %d');", i, i)
			}
			sql(mode + "CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT); BEGIN;" + inserts.String() + "COMMIT;")
			sql(mode + "UPDATE t SET text = text || ' changed' WHERE id % 2 = 0;")
			sql(mode + "BEGIN; DELETE FROM t; ROLLBACK;")
			want := func() {
				t.Helper()
				const rows = "SELECT count(*), sum(id), sum(length(text)) FROM t WHERE id % 2 = 0 AND text LIKE '% changed'"
				if got := sql(rows); got != "100|9900|2245" {
					t.Errorf("rows: %s", got)
				}
				if got := sql("PRAGMA integrity_check"); got != "ok" {
					t.Errorf("integrity_check: %s", got)
				}
			}
			want()
			m.unmount()
			m = newMount(t, s)
			want()
			sql(mode + "INSERT INTO t VALUES (1000, 'after the remount'); DELETE FROM t WHERE id = 1000; VACUUM;")
			want()
			m.unmount()
		})
	}
}
