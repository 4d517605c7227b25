#!/bin/bash
# A Slurm cluster of one node on loopback, for tests: controller, node daemon and munge, all files
# in one folder. Needs root and Debian's packages slurmctld, slurmd, slurm-client and munge.
#   cluster.sh start DIR [CPUS]    prints the path of slurm.conf; export it as SLURM_CONF
#   cluster.sh stop DIR
set -euo pipefail
command=$1
dir=$2
host=$(hostname -s)

stop() {
    # Steps first: a slurmd that is told to end while one runs stays for it.
    SLURM_CONF="$dir/slurm.conf" scancel --user="$(id -un)" 2>/dev/null || true
    for _ in $(seq 100); do
        [ -z "$(SLURM_CONF="$dir/slurm.conf" squeue -h -t R,CG 2>/dev/null)" ] && break
        sleep 0.2
    done
    for name in slurmd slurmctld munged; do
        [ -f "$dir/$name.pid" ] || continue
        pid=$(cat "$dir/$name.pid")
        kill "$pid" 2>/dev/null || continue
        for _ in $(seq 25); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
        kill -9 "$pid" 2>/dev/null || true
    done
}

if [ "$command" = stop ]; then
    stop
    exit 0
fi
cpus=${3:-2}
mkdir -p "$dir/state" "$dir/spool"
chmod 755 "$dir"
head -c 1024 /dev/urandom >"$dir/munge.key"
chmod 400 "$dir/munge.key"
cat >"$dir/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,requeue_delay=0
ReturnToService=2
KillWait=5
MinJobAge=300
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF="$dir/slurm.conf"
munged --force --socket="$dir/munge.socket" --key-file="$dir/munge.key" \
    --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" --seed-file="$dir/munge.seed" >&2
slurmctld -f "$SLURM_CONF" >&2
slurmd -f "$SLURM_CONF" -N "$host" >&2 || true
for _ in $(seq 100); do
    if sinfo --noheader --format=%T 2>/dev/null | grep -qE '^(idle|mixed)'; then
        echo "$SLURM_CONF"
        exit 0
    fi
    sleep 0.2
done
echo "Slurm did not come up:" >&2
tail -n 5 "$dir"/*.log >&2
stop
exit 1
