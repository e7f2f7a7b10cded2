#!/bin/sh
# Runs a Kafka broker, which is its own controller, on two ports of loopback, with its files in a folder, until it is
# killed. It goes on with what is in the folder. Settings in DIR/more.properties count over those here. Needs Java 17
# and Maven, which fetches the jars once; ends with 3 where they are not there.
#
#   loadtest/kafka/broker.sh PORT CONTROLLER_PORT DIR
set -eu

port=$1
controller=$2
mkdir -p "$3"
data=$(cd "$3" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
jars=$target/kafka

for tool in java mvn flock; do
    command -v "$tool" >/dev/null || { echo "no $tool to be had" >&2; exit 3; }
done
mkdir -p "$target"
(
    # Others may start one at the same time.
    flock 9
    if [ ! -d "$jars" ]; then
        rm -rf "$jars.part"
        mvn --batch-mode --quiet --file "$here/pom.xml" dependency:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$jars.part" >&2 || exit 3
        mv "$jars.part" "$jars"
    fi
) 9>"$target/kafka.lock" || exit 3

cat >"$data/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
log.dirs=$data/log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
log.cleaner.dedupe.buffer.size=8388608
log.retention.check.interval.ms=500
log.initial.task.delay.ms=500
# A broker that was killed is back once its session has ended.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
EOF
[ ! -f "$data/more.properties" ] || cat "$data/more.properties" >>"$data/server.properties"

java="java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
if [ ! -f "$data/log/meta.properties" ]; then
    $java -cp "$jars/*" kafka.tools.StorageTool format -t AAAAAAAAQACAAAAAAAAAAQ -c "$data/server.properties" >&2
fi
exec $java -cp "$jars/*" kafka.Kafka "$data/server.properties"
