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
    // Text packs better the more of it is together, and the bound is on all of it
    // (assets_test.go): one file of styles, one chunk of what the pages share, and
    // one of each family of pages. As chunks of their own they took 15 % more.
    cssCodeSplit: false,
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: "parts", test: /src\/(components\/(?!plot)|api\/|router|session|format|tools|theme|i18n\/index)/ },
            { name: "requests", test: /src\/pages\/(requests|live|playground|why)\// },
            { name: "keys", test: /src\/pages\/(keys|connect|handover|upstreams|cache)\// },
          ],
        },
      },
    },
  },
  server: { proxy: { "/_/api": gateway } },
}));
