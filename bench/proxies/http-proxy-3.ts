/** What the shim is held against: http-proxy-3 with a keep-alive agent, no policy, no log. Its argument is the gateway. */
import { Agent, createServer } from 'node:http';
import { createProxyServer } from 'http-proxy-3';
import { listen } from '../listen.ts';

const proxy = createProxyServer({ target: process.argv[2] as string, agent: new Agent({ keepAlive: true }) });
proxy.on('error', (error) => process.stderr.write(`${error.message}\n`));

const server = createServer((req, res) => proxy.web(req, res));
listen(server);
