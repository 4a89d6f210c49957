#!/usr/bin/env bash
# Fetch what the tests around Kafka run, into .cache; needs mvn. What is there is not fetched again.
#   broker    a Kafka broker (54 MB); this alone if nothing is said
#   registry  a schema registry, Apicurio's (160 MB)
#   spark     the connectors by which Spark reads Kafka and Avro (10 MB)
set -euo pipefail
cd "$(dirname "$0")/../../.."

jars() { # FOLDER POM OPTION...
  mvn --batch-mode --quiet -f "tests/support/kafka/$2" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$PWD/.cache/$1" "${@:3}"
}

broker() { jars kafka pom.xml; }

registry() {
  mvn --batch-mode --quiet dependency:copy -DoutputDirectory="$PWD/.cache/registry" \
    -Dartifact=io.apicurio:apicurio-registry-app:3.0.9:tar.gz:all
  tar -xzf .cache/registry/*.tar.gz -C .cache/registry
  rm .cache/registry/*.tar.gz
}

# Spark has Hadoop and Scala itself.
spark() { jars spark-kafka spark.xml -DexcludeGroupIds=org.apache.hadoop,org.scala-lang,org.slf4j; }

declare -A folders=([broker]=kafka [registry]=registry [spark]=spark-kafka)
for what in "${@:-broker}"; do
  folder=".cache/${folders[$what]}"
  if [ -f "$folder/complete" ]; then continue; fi
  mkdir -p "$folder"
  "$what"
  touch "$folder/complete"
done
