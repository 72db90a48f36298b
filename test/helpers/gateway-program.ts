/** The stand-in gateway as a program: options as JSON in, its port out. */
import { startGateway, type StandInOptions } from '../../src/demo/gateway.ts';

const gateway = await startGateway(JSON.parse(process.argv[2] ?? '') as StandInOptions);
process.stdout.write(`${gateway.port}\n`);
