package openai

import (
	"strings"

	"forward/internal/dialect"
)

// paths are the operations of the API reference, with those that compatible
// servers add and the places where clouds serve the same: Azure's deployments
// (which isBase knows), Databricks' serving endpoints, and the models of other
// publishers on Vertex. Sources:
// https://platform.openai.com/docs/api-reference; Azure OpenAI's "REST API
// reference"; Mistral's, vLLM's and Jina's API references for /fim/completions,
// /agents/completions, /tokenize and /rerank;
// https://docs.databricks.com/aws/en/machine-learning/model-serving/score-foundation-models;
// https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/mistral.
//
// What is free follows https://openai.com/api/pricing: nothing is charged for
// what only reads, changes or deletes stored objects, and for files. Storage of
// vector stores and containers is, as is whatever runs a model later, so what
// makes these is not in the table.
var paths = dialect.NewPaths(map[dialect.Operation]string{
	dialect.Chat: `
		POST chat/completions
		POST agents/completions
		POST serving-endpoints/*/invocations
		POST publishers/ai21/models/*:rawPredict
		POST publishers/ai21/models/*:streamRawPredict
		POST publishers/deepseek-ai/models/*:rawPredict
		POST publishers/deepseek-ai/models/*:streamRawPredict
		POST publishers/meta/models/*:rawPredict
		POST publishers/meta/models/*:streamRawPredict
		POST publishers/mistralai/models/*:rawPredict
		POST publishers/mistralai/models/*:streamRawPredict
		POST publishers/openai/models/*:rawPredict
		POST publishers/openai/models/*:streamRawPredict
		POST publishers/qwen/models/*:rawPredict
		POST publishers/qwen/models/*:streamRawPredict`,
	dialect.Completion: `
		POST completions
		POST fim/completions`,
	dialect.Embedding: `
		POST embeddings`,
	dialect.Responses: `
		POST responses
		POST responses/compact`,
	dialect.CountTokens: `
		POST responses/input_tokens`,
	dialect.Moderation: `
		POST moderations`,
	dialect.Image: `
		POST images/generations`,
	dialect.ImageEdit: `
		POST images/edits
		POST images/variations`,
	dialect.Speech: `
		POST audio/speech`,
	dialect.Audio: `
		POST audio/transcriptions
		POST audio/translations`,
	dialect.Video: `
		POST videos
		POST videos/*/remix
		POST videos/edits
		POST videos/extensions
		POST videos/generations
		POST video/generations
		POST video/generations/jobs`,
	dialect.Rerank: `
		POST rerank`,
	dialect.Models: `
		GET models/**`,
	dialect.Other: `
		DELETE models/*
		GET engines
		GET engines/*
		GET deployments
		GET deployments/*
		GET files/**
		POST files
		DELETE files/*
		POST uploads
		POST uploads/*/parts
		POST uploads/*/complete
		POST uploads/*/cancel
		GET batches/**
		POST batches
		POST batches/*/cancel
		GET,DELETE responses/*
		GET responses/*/input_items
		POST responses/*/cancel
		GET chat/completions
		GET,POST,DELETE chat/completions/chatcmpl-*
		GET chat/completions/*/messages
		POST conversations
		GET,POST,DELETE conversations/*
		GET,POST conversations/*/items
		GET,DELETE conversations/*/items/*
		GET assistants/**
		POST assistants
		POST,DELETE assistants/*
		GET threads/**
		POST threads
		POST,DELETE threads/*
		POST threads/*/messages
		POST,DELETE threads/*/messages/*
		POST threads/*/runs/*
		POST threads/*/runs/*/cancel
		GET vector_stores/**
		POST,DELETE vector_stores/*
		POST,DELETE vector_stores/*/files/*
		POST vector_stores/*/file_batches/*/cancel
		GET,DELETE containers/**
		GET fine_tuning/**
		POST fine_tuning/jobs/*/cancel
		POST fine_tuning/jobs/*/pause
		POST fine_tuning/alpha/graders/validate
		DELETE fine_tuning/checkpoints/*/permissions/*
		GET evals/**
		POST evals
		POST,DELETE evals/*
		POST,DELETE evals/*/runs/*
		GET,DELETE videos/**
		GET,DELETE video/generations/**
		GET,DELETE skills/**
		POST skills
		POST skills/*
		POST skills/*/versions
		GET,DELETE audio/voices/**
		GET,DELETE audio/voice_consents/**
		POST audio/voice_consents
		POST audio/voice_consents/*
		GET chatkit/threads/**
		DELETE chatkit/threads/*
		POST chatkit/sessions/*/cancel
		POST realtime/calls/*/hangup
		POST realtime/calls/*/reject
		GET organization/**
		GET dashboard/billing/**
		POST tokenize
		POST detokenize
		GET user/balance
		GET credits
		GET key
		GET generation`,
	dialect.Unknown: `
		POST threads/runs`,
})

// pathModel returns the model that a path names: the deployment of Azure, the
// serving endpoint of Databricks, or the model of a publisher on Vertex. All of
// them obey it and not the body.
func pathModel(path string) string {
	for _, after := range []string{"deployments", "engines"} {
		if name, ok := dialect.Between(path, after); ok {
			return name
		}
	}
	folded := dialect.FoldPath(path)
	switch {
	case strings.HasSuffix(folded, "/invocations"):
		name, _ := dialect.Between(path, "serving-endpoints")
		return name
	case strings.HasSuffix(folded, "rawpredict"):
		name, _ := dialect.Between(path, "models")
		name, _, _ = strings.Cut(name, ":")
		return name
	}
	return ""
}

// streams reports whether the path itself asks for a stream.
func streams(path string) bool {
	return strings.HasSuffix(dialect.FoldPath(path), ":streamrawpredict")
}
