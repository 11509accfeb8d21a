#!/bin/sh
# customize.sh ROOT: the last step of building the root file system; everything here is the same for all sites.
set -eu
root=$1

for user in alice:1001 bob:1002; do
    chroot "$root" useradd --uid "${user#*:}" --user-group --shell /bin/bash --no-create-home "${user%:*}"
done
: >"$root/etc/resolv.conf"
tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
mkdir -p "$root/var/spool/slurmd" "$root/mnt"

# The smallest MariaDB that slurmdbd accepts: the data directory goes from 143 MB to a tenth.
cat >"$root/etc/mysql/mariadb.conf.d/99-small.cnf" <<'X'
[mariadbd]
skip-networking
innodb_log_file_size=4M
innodb_buffer_pool_size=64M
innodb_lock_wait_timeout=900
innodb_flush_log_at_trx_commit=0
innodb_undo_tablespaces=0
innodb_data_file_path=ibdata1:4M:autoextend
innodb_autoextend_increment=1
aria_log_file_size=1M
performance_schema=OFF
X
rm -rf "$root/var/lib/mysql"
chroot "$root" install -d -o mysql -g mysql /var/lib/mysql
chroot "$root" mariadb-install-db --user=mysql --skip-test-db --auth-root-authentication-method=socket >/dev/null

rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
