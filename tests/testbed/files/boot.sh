#!/bin/sh
# boot.sh: first process of a machine of the site, started in fresh mount, pid, ipc and uts namespaces.
# It puts the machine's own root file system together (so that all mounts vanish with it) and becomes its init.
# Environment: NAME, LAYERS (overlay's lower directories), DISK (what the machine writes), BINDS ("from:to" lines), INIT.
set -eu
root=$DISK/root
mkdir -p "$root" "$DISK/upper/etc" "$DISK/work"
echo "$NAME" >"$DISK/upper/etc/hostname"
mount -t overlay overlay -o "lowerdir=$LAYERS,upperdir=$DISK/upper,workdir=$DISK/work" "$root"

echo "$BINDS" | while IFS=: read -r from to mode; do
    [ -n "$from" ] || continue
    mkdir -p "$root$to"
    mount --bind "$from" "$root$to"
    [ "$mode" != ro ] || mount -o remount,bind,ro "$root$to"
done

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --rbind /sys "$root/sys" && mount -o remount,bind,ro "$root/sys"
mount -t tmpfs -o mode=755,nosuid run "$root/run"
mount -t tmpfs -o mode=1777,nosuid tmp "$root/tmp"

# A /dev of its own: the host's may be nodev, has a private /dev/fuse, and would share /dev/shm.
mount -t tmpfs -o mode=755,nosuid dev "$root/dev"
mkdir -p "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777,nosuid shm "$root/dev/shm"
node() { mknod -m 666 "$root/dev/$1" c "$2" "$3"; }
node null 1 3 && node zero 1 5 && node full 1 7 && node random 1 8 && node urandom 1 9 && node tty 5 0 && node fuse 10 229
for i in 0 1 2 3 4 5 6 7; do node pretend-gpu$i 1 3; done
for link in fd: stdin:/0 stdout:/1 stderr:/2; do ln -s "/proc/self/fd${link#*:}" "$root/dev/${link%%:*}"; done
ln -s pts/ptmx "$root/dev/ptmx"

hostname "$NAME"
cd "$root"
pivot_root . mnt
cd /
umount -l /mnt
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 /bin/sh "$INIT" "$NAME"
