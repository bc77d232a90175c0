# Sourced by scripts/lint and scripts/test: runs named parts one after another, keeps their output in
# target/ci/logs, and ends with a table of results, times and counted tests. A failing part does not stop the
# others, so that one run shows everything that is wrong.
#
#   part NAME COMMAND...     run it
#   finish                   print the table, exit 1 if any part failed
#
# .ci/run sets PARTS_FILE, so that lint and test write into one table, which it prints itself at the end.

logs=target/ci/logs
mkdir -p "$logs"
own_table=1
if [ -n "${PARTS_FILE:-}" ]; then own_table=; else PARTS_FILE=$(mktemp); : >"$PARTS_FILE"; fi
any_failed=0

part() {
  local name=$1 begin status=0
  shift
  printf '\n=== %s: %s\n' "$name" "$*"
  begin=$(date +%s)
  set +e
  "$@" 2>&1 | tee "$logs/$name.log"
  status=${PIPESTATUS[0]}
  set -e
  if [ "$status" -ne 0 ]; then
    any_failed=1
    printf '=== %s failed (exit code %s)\n' "$name" "$status"
  fi
  printf '%s\t%s\t%s\n' "$name" "$status" "$(($(date +%s) - begin))" >>"$PARTS_FILE"
}

finish() {
  if [ -n "$own_table" ]; then
    node scripts/parts-table.mjs "$PARTS_FILE" "$logs" || any_failed=1
    rm -f "$PARTS_FILE"
  fi
  exit "$any_failed"
}
