//! The verbs: inspect, devices, bench, tune. The only place where engine, search and store meet.
