package gemini

import "forward/internal/dialect"

// paths are the operations of the API reference and of the same methods on
// Vertex. Sources: https://ai.google.dev/api;
// https://cloud.google.com/vertex-ai/docs/reference/rest.
//
// What is free: stored objects, files, long-running operations, the counting of
// tokens, and batches, whose results are charged. Caches of content and file
// search stores cost from the moment they are filled, so what fills them is not
// in the table.
var paths = dialect.NewPaths(map[dialect.Operation]string{
	dialect.Generate: `
		POST models/*:generateContent
		POST models/*:streamGenerateContent
		POST tunedModels/*:generateContent
		POST tunedModels/*:streamGenerateContent
		POST dynamic/*:generateContent
		POST dynamic/*:streamGenerateContent
		POST endpoints/*:generateContent
		POST endpoints/*:streamGenerateContent`,
	dialect.EmbedContent: `
		POST models/*:embedContent
		POST models/*:batchEmbedContents`,
	dialect.CountTokens: `
		POST models/*:countTokens
		POST models/*:countMessageTokens
		POST models/*:countTextTokens
		POST tunedModels/*:countTokens
		POST endpoints/*:countTokens
		POST models/*:computeTokens
		POST endpoints/*:computeTokens`,
	dialect.Image: `
		POST models/imagen*:predict`,
	dialect.Video: `
		POST models/*:predictLongRunning`,
	dialect.Models: `
		GET models/**`,
	dialect.Other: `
		GET models/*/operations/**
		POST models/*/operations/*:cancel
		POST models/*:fetchPredictOperation
		POST models/*:batchGenerateContent
		POST tunedModels/*:batchGenerateContent
		POST tunedModels/*:asyncBatchEmbedContent
		GET generatedFiles/**
		GET,DELETE environments/**
		GET environments:list
		POST models/*:asyncBatchEmbedContent
		GET,DELETE operations/**
		POST operations/*:cancel
		GET,DELETE batches/**
		POST batches/*:cancel
		GET,DELETE files/**
		POST,PUT files
		POST files:register
		GET,DELETE cachedContents/**
		GET,DELETE fileSearchStores/**
		POST fileSearchStores
		GET,DELETE tunedModels/**
		GET,DELETE corpora/**
		GET,DELETE interactions/**
		POST interactions/*/cancel
		POST interactions/*:cancel`,
})
