# Owns one cluster: makes it, starts it, and removes it when nobody holds the other end of the pipe
# any more, however they ended. Runs as the server's user, in a process group of its own.
#
# $1: the cluster's directory  $2: the programs' directory  $3: seconds without anybody
# $4: an option for initdb, or nothing
# FANOUT_PG_SETTINGS: what to add to postgresql.conf
# stdin: the pipe `control`. A line is a command; a client that comes says `hello`.
dir=$1 bin=$2 grace=$3 option=${4-} settings=$FANOUT_PG_SETTINGS
unset FANOUT_PG_SETTINGS FANOUT_PG_WATCHDOG

# What the client has open by accident is not kept open here or in the server.
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- >>"$dir/log" 2>&1
cd /
umask 077

# Renamed into place, so that a client never reads half a word.
report() {
    printf '%s\n' "$1" >"$dir/status.new" && mv -f "$dir/status.new" "$dir/status"
}

start() {
    if "$bin/pg_ctl" "$1" -D "$dir/data" -l "$dir/log" -m fast -w -t 60 -s </dev/null; then
        report ready
    else
        report failed
    fi
}

# `closed` goes last: as long as it is there, clients know that this is still at work.
remove() {
    if "$bin/pg_ctl" status -D "$dir/data" >/dev/null 2>&1; then
        pid=$(head -n 1 "$dir/data/postmaster.pid")
        "$bin/pg_ctl" stop -D "$dir/data" -m immediate -w -t 30 -s </dev/null || kill -KILL "$pid"
    fi
    rm -rf "$dir/data" "$dir/log" "$dir/status" "$dir/status.new" "$dir/server" \
        "$dir"/.s.PGSQL.*
    rm -f "$dir/control" "$dir/closed"
    # Not `rm -rf`: the next client may have begun to use the directory.
    rmdir "$dir" 2>/dev/null
}

trap 'remove; exit' TERM
trap '' HUP INT

if "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-instructions $option \
    </dev/null >/dev/null && printf '%s\n' "$settings" >>"$dir/data/postgresql.conf"; then
    start start
else
    report failed
fi

idle=0
while :; do
    if read -r command; then
        idle=0
    elif [ "$idle" -lt "$grace" ]; then
        sleep 1
        idle=$((idle + 1))
        continue
    else
        # From here on nobody new can come in; who came in just before is still waited for.
        mv -f "$dir/control" "$dir/closed"
        read -r command || break
        mv -f "$dir/closed" "$dir/control"
        idle=0
    fi
    if [ "$command" = restart ]; then
        start restart
    fi
done
remove
