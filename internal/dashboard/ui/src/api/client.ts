// Calls of the gateway's API. The browser sends the session's cookie by itself.
import type { ApiError } from "./types";
import type { Query } from "../router";

/** A failure of a call. code is what programs compare; errorText of ./errors
 *  has the sentence for a person. */
export class ApiFailure extends Error {
  constructor(
    readonly status: number, // 0: the gateway did not answer
    readonly code: string,
    message: string,
    readonly param: string | null = null,
    readonly retryAfter: number | null = null, // seconds
  ) {
    super(message);
  }
}

let unauthorized: (failure: ApiFailure) => void = () => {};
export function onUnauthorized(f: (failure: ApiFailure) => void) {
  unauthorized = f;
}

/** apiURL returns the address of a path of the API, for links that download. */
export function apiURL(path: string, query: Query = {}): string {
  const url = new URL("api" + path, document.baseURI.replace(/#.*/, ""));
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "" && value !== false) url.searchParams.set(name, String(value));
  }
  return url.href;
}

export interface Options {
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

/** call sends one request and returns the answer. It throws ApiFailure, or the
 *  AbortError of its signal. */
export async function call(method: string, path: string, body: unknown, options: Options & { query?: Query } = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json", ...options.headers };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(apiURL(path, options.query), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: options.signal ?? null,
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch (err) {
    if ((err as Error).name === "AbortError") throw err;
    throw new ApiFailure(0, "unreachable", (err as Error).message);
  }
  if (response.ok) return response;
  const failure = await failureOf(response);
  if (failure.status === 401 && path !== "/session") unauthorized(failure);
  throw failure;
}

async function failureOf(response: Response): Promise<ApiFailure> {
  const wait = Number(response.headers.get("Retry-After"));
  const retryAfter = Number.isFinite(wait) && wait > 0 ? wait : null;
  try {
    const { error } = (await response.json()) as ApiError;
    return new ApiFailure(response.status, error.code ?? "", error.message, error.param, retryAfter);
  } catch {
    return new ApiFailure(response.status, "", response.statusText, null, retryAfter);
  }
}

async function value<T>(response: Response): Promise<T> {
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export async function get<T>(path: string, query?: Query, options: Options = {}): Promise<T> {
  return value(await call("GET", path, undefined, { ...options, query }));
}
export async function post<T>(path: string, body: unknown = {}, options: Options = {}): Promise<T> {
  return value(await call("POST", path, body, options));
}
/** patch changes an object of the version that was read; 412: it has changed. */
export async function patch<T>(path: string, version: number, body: unknown, options: Options = {}): Promise<T> {
  return value(await call("PATCH", path, body, { ...options, headers: { "If-Match": `"${version}"`, ...options.headers } }));
}
export async function del<T = void>(path: string, query?: Query, options: Options = {}): Promise<T> {
  return value(await call("DELETE", path, undefined, { ...options, query }));
}
