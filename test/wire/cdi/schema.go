//go:build schema

package main

import "tags.cncf.io/container-device-interface/schema"

const judgeNote = ", by the JSON schema too"

func judge(path string) error { return schema.BuiltinSchema().ValidateFile(path) }
