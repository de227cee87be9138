package fs_test

import (
	"os"
	"os/exec"
	"testing"

	"rgwfs/fs/fstest"
	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// run runs a shell script with the mount as $M and a directory of its own, on
// a local file system, as $L. The script's own directory is $L: a child that
// is started in a directory of the mount could deadlock with this process.
func run(t *testing.T, m *fstest.FS, script string) {
	t.Helper()
	local := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", script)
	cmd.Dir = local
	cmd.Env = append(os.Environ(), "M="+m.Dir, "L="+local, "HOME="+local, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// programs are scripts that exit with 0 if what they did on $M is right, by
// the program that they need.
var programs = map[string]string{
	"rsync": `
		mkdir -p src/sub; echo one >src/a; echo two >src/sub/b; ln -s a src/link
		chmod 640 src/a; touch -d '2001-02-03 04:05:06.789' src/a src/sub
		rsync -a src/ "$M/dst/"
		rsync -a --itemize-changes src/ "$M/dst/" >again
		test ! -s again || { echo "second run changes:"; cat again; exit 1; }
		rsync -a "$M/dst/" back/; diff -r src back
		test "$(stat -c '%a %Y' src/a)" = "$(stat -c '%a %Y' back/a)"
		rsync -a src/ "$M/"`,
	"tar": `
		mkdir -p src/d/e; for i in 1 2 3 4 5; do echo $i >src/d/f$i; done; chmod 755 src/d/f1; ln -s ../f1 src/d/e/up
		tar cf t.tar -C src .
		tar xpf t.tar -C "$M"
		diff -r src/d/e "$M/d/e"; diff src/d/f5 "$M/d/f5"; test -x "$M/d/f1"
		tar cf - -C "$M" . | tar df - -C src
		rm -r "$M/d"; test -z "$(ls -A "$M")"`,
	"git": `
		git init -q src; cd src; git config user.email a@example.org; git config user.name a
		mkdir d; for i in $(seq 30); do echo $i >d/f$i; done; git add .; git commit -qm one
		git clone -q "$L/src" "$M/clone"
		test -z "$(git -C "$M/clone" status --porcelain)"
		cd "$M/clone"; git config user.email a@example.org; git config user.name a
		echo new >d/f1; git mv d/f2 moved; git commit -qam two; git gc -q; git fsck --strict
		test -z "$(git status --porcelain)"; cd "$L"
		git clone -q "$M/clone" back; test "$(cat back/d/f1)" = new; test -f back/moved`,
	"sqlite3": `
		sqlite3 "$M/db" 'create table t(a,b); insert into t values(1,2);'
		for i in 1 2 3; do sqlite3 "$M/db" "begin; insert into t select a+1,b from t; commit;"; done
		test "$(sqlite3 "$M/db" 'select count(*) from t; pragma integrity_check;' | tr '\n' ' ')" = "8 ok "
		cp "$M/db" back; test "$(sqlite3 back 'pragma integrity_check')" = ok`,
	"dd": `
		dd if=/dev/urandom of=src bs=1M count=24 status=none
		dd if=src of="$M/f" bs=1M status=none; cmp src "$M/f"
		dd if=src of="$M/g" bs=37k oflag=direct status=none || dd if=src of="$M/g" bs=37k status=none; cmp src "$M/g"
		dd if=/dev/zero of="$M/f" bs=1k seek=5000 count=3 conv=notrunc status=none
		dd if=/dev/zero of=src bs=1k seek=5000 count=3 conv=notrunc status=none; cmp src "$M/f"
		cp "$M/f" "$M/h"; cmp src "$M/h"; mv "$M/h" "$M/i"; cmp src "$M/i"`,
	"find": `
		mkdir -p "$M/a/b/c"; echo x >"$M/a/b/c/f"; mkdir "$M/empty"
		test "$(cd "$M"; find . | sort | tr '\n' ' ')" = ". ./a ./a/b ./a/b/c ./a/b/c/f ./empty "
		test "$(find "$M" -type f | wc -l)" = 1
		find "$M" -mindepth 1 -delete; test -z "$(ls -A "$M")"`,
}

func runPrograms(t *testing.T, open func(t *testing.T) s3backend.Store) {
	for program, script := range programs {
		t.Run(program, func(t *testing.T) {
			if _, err := exec.LookPath(program); err != nil {
				s3test.Missing(t, err.Error())
			}
			m := fstest.Mount(t, open(t), fstest.Options{})
			run(t, m, script)
		})
	}
}

func TestProgramsOnMem(t *testing.T) {
	runPrograms(t, func(*testing.T) s3backend.Store { return s3test.NewMem("bucket") })
}

func TestProgramsOnRGW(t *testing.T) {
	runPrograms(t, rgwBuckets(t))
}
