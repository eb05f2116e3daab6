package anthropic

import "forward/internal/dialect"

// paths are the operations of the API reference, and those of Claude on Vertex,
// whose model is in the path. Sources: https://docs.anthropic.com/en/api;
// https://docs.anthropic.com/en/api/claude-on-vertex-ai.
//
// What is free: the batches, whose results are charged, stored objects, files
// and the counting of tokens ("Token counting is free to use").
var paths = dialect.NewPaths(map[dialect.Operation]string{
	dialect.Messages: `
		POST messages
		POST publishers/anthropic/models/*:rawPredict
		POST publishers/anthropic/models/*:streamRawPredict`,
	dialect.CountTokens: `
		POST messages/count_tokens
		POST publishers/anthropic/models/count-tokens:rawPredict`,
	dialect.Models: `
		GET models/**`,
	dialect.Other: `
		GET,DELETE messages/batches/**
		POST messages/batches
		POST messages/batches/*/cancel
		GET,DELETE files/**
		POST files
		GET,DELETE skills/**
		POST skills
		POST skills/*/versions
		GET organizations/**
		GET,DELETE agents/**
		GET,DELETE sessions/**
		GET,DELETE environments/**
		GET,DELETE deployments/**
		GET,DELETE deployment_runs/**
		GET,DELETE memory_stores/**
		GET,DELETE vaults/**
		GET dreams/**`,
})
