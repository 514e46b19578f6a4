// Package config reads the gateway's one YAML file. It is strict: an unknown key, a wrong type, a missing or impossible
// value is a [Finding] that says where, what and how to mend it, and all findings of a file come in one run.
//
// Values come from, the weakest first: the defaults of the parts, the variables that the origin and Knative use (STREAM,
// PRODUCER, REDIS_HOSTNAME, REDIS_PORT, PORT), the file, in which ${NAME} and ${NAME:-default} stand for variables, and
// variables STREAMGATE_... for the keys of redis, server and admin.
//
// The file is walked as a tree first, which knows lines and columns, and then decoded by viper, which does not.
package config
