// What BullMQ writes to the stream of a queue's events, for jobs that complete and fail. The cases are named in node.go, in the
// same order.
//
// Usage: node bullmq_publisher.mjs host port prefix queue version
import { createRequire } from 'node:module';

const require = createRequire(process.cwd() + '/package.json');
const { Queue, Worker } = require('bullmq');
const [host, port, prefix, name, version] = process.argv.slice(2);
const found = require('bullmq/package.json').version;
if (found !== version) {
	console.error(`bullmq is ${found}, want ${version}`);
	process.exit(1);
}
const connection = { host, port: Number(port) };
const queue = new Queue(name, { connection, prefix });
const worker = new Worker(name, null, { connection, prefix, autorun: false });

async function next(job, data) {
	await queue.add(job, data);
	const taken = await worker.getNextJob('token', { block: false });
	return taken;
}

const done = await next('ok', { order: 100 });
await done.updateProgress({ percent: 50 });
await done.moveToCompleted({ ok: true, n: 7 }, 'token', false);
const text = await next('text', {});
await text.moveToCompleted('done', 'token', false);
const failed = await next('bad', { order: 101 });
await failed.moveToFailed(new Error('no such order'), 'token', false);
await worker.close();
await queue.close();
