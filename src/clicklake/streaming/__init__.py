"""The lake's clickstream on a stream, and statistics from that stream as it flows.

`publisher` puts each event onto a folder, Kafka or Kinesis once; `summarizer` reads it back in
the publisher's order and keeps batch files and windowed statistics; `watch` shows them.
docs/streaming.md says what "once" means for each kind of stream.
"""
