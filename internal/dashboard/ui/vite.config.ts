import { defineConfig } from "vite";

// The gateway whose API `npm run dev` shows, as an address without a path.
const gateway = (globalThis as any).process.env.FORWARD_URL ?? "http://127.0.0.1:8000";

export default defineConfig(({ command }) => ({
  // Relative addresses work below any prefix of a proxy in front.
  base: command === "serve" ? "/_/" : "./",
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the content security policy allows no data of scripts
    modulePreload: { polyfill: false },
    sourcemap: false,
    reportCompressedSize: false,
  },
  server: { proxy: { "/_/api": gateway } },
}));
