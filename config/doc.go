// Package config reads the YAML file of the gateway. It is strict: an unknown key, a wrong type, and a missing or
// invalid value are [Finding] values that tell where the problem is, what it is and how to fix it. All findings of a
// file are reported in one run. Values come from these places, where a later one overrides an earlier one:
//
//   - the defaults of each section,
//   - the environment variables of the original notebook and of Knative: STREAM, PRODUCER, REDIS_HOSTNAME,
//     REDIS_PORT, PORT,
//   - the file, in which ${NAME} and ${NAME:-default} expand to environment variables,
//   - environment variables like STREAMGATE_SERVER_ADDRESS, for the keys of redis, server and admin.
//
// The file is first checked as a tree of YAML nodes, which have lines and columns, and then decoded by viper, which has
// no positions.
package config
