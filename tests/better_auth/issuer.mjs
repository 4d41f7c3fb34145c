// A stock Better Auth on a free port of loopback, for the tests. Its first line of output is its address.
//
// The argument is JSON: {"ids": "uuid"} and {"alg": "ES256"} as one would configure them, {"cookies": true} for
// session cookies that are JWTs; {"files": "/a/folder"} has it serve a front end's; {"allows_other_origins": true} lets
// pages of other origins read its tokens. A line "rotate" on standard input ends the life of all keys that sign.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { basename, extname, join } from "node:path";
import { createInterface } from "node:readline";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { jwt } from "better-auth/plugins";

const asked = JSON.parse(process.argv[2] ?? "{}");
const tables = { user: [], session: [], account: [], verification: [], jwks: [] };

let handler;
const server = createServer((request, response) => {
  if (asked.allows_other_origins && request.headers.origin) {
    response.setHeader("Access-Control-Allow-Origin", request.headers.origin);
    response.setHeader("Access-Control-Allow-Credentials", "true");
  }
  if (!asked.files || request.url.startsWith("/api/")) return handler(request, response);
  return readFile(join(asked.files, basename(request.url))).then(
    (content) => {
      const type = extname(request.url) === ".js" ? "text/javascript" : "text/html";
      response.writeHead(200, { "Content-Type": type }).end(content);
    },
    () => response.writeHead(404).end(),
  );
});
server.listen(0, "127.0.0.1", () => {
  const url = `http://${asked.host ?? "127.0.0.1"}:${server.address().port}`;
  const auth = betterAuth({
    baseURL: url,
    secret: "a secret of the issuer that nobody else knows",
    database: memoryAdapter(tables),
    emailAndPassword: { enabled: true },
    ...(asked.ids && { advanced: { database: { generateId: asked.ids } } }),
    ...(asked.cookies && { session: { cookieCache: { enabled: true, strategy: "jwt" } } }),
    plugins: [
      jwt({
        ...(asked.alg && { jwks: { keyPairConfig: { alg: asked.alg } } }),
        ...(asked.cookies && { sessionCookieCache: true }),
      }),
    ],
  });
  handler = toNodeHandler(auth);
  console.log(url);
});

createInterface({ input: process.stdin })
  .on("line", (line) => {
    if (line === "rotate") {
      for (const key of tables.jwks) key.expiresAt = new Date(Date.now() - 1000);
      console.log("rotated");
    }
  })
  .on("close", () => process.exit(0)); // the tests have ended, however they did
