/**
 * What the shim is held against: http-proxy-3 with a keep-alive agent, no policy, no log. Its arguments are the gateway
 * and, for mutual TLS, the files of certificate, key and authority.
 */
import { readFileSync } from 'node:fs';
import { Agent, createServer } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { createProxyServer } from 'http-proxy-3';
import { listen } from '../listen.ts';

const [target, ...files] = process.argv.slice(2);
const [cert, key, ca] = files.map((path) => readFileSync(path));
const agent = cert ? new TlsAgent({ keepAlive: true, cert, key, ca }) : new Agent({ keepAlive: true });
const proxy = createProxyServer({ target: target as string, agent });
proxy.on('error', (error) => process.stderr.write(`${error.message}\n`));

const server = createServer((req, res) => proxy.web(req, res));
server.on('upgrade', (req, socket, head) => proxy.ws(req, socket, head));
listen(server);
