// smtp_nodemailer.js PORT MESSAGES CONNECTIONS EACH: the messages of bench/smtp.cpp by nodemailer. EACH: 1, a new connection
// for every message; 0, a pool.
const nodemailer = require('nodemailer');
const [port, messages, connections, each] = process.argv.slice(2).map(Number);
const head = 'From: <a@example.com>\r\nTo: <b@example.com>\r\nDate: Sat, 01 Jan 2022 00:00:00 +0000\r\n' +
    'Message-Id: <1.2@bench.example.com>\r\nSubject: bench\r\n\r\n';
const raw = head + ('X'.repeat(62) + '\r\n').repeat(Math.floor((4096 - head.length) / 64) + 1);
const server = { host: '127.0.0.1', port, name: 'bench.example.com', secure: false, ignoreTLS: true };
const pool = { pool: true, maxConnections: connections, maxMessages: Infinity };
const transport = nodemailer.createTransport(each === 1 ? server : { ...server, ...pool });
const envelope = { from: 'a@example.com', to: ['b@example.com'] };
let left = messages, accepted = 0;
async function work() {
    while (left-- > 0) {
        await transport.sendMail({ envelope, raw });
        ++accepted;
    }
}
Promise.all(Array.from({ length: connections }, work)).then(() => {
    transport.close();
    console.log(`accepted=${accepted}`);
    process.exit(accepted === messages ? 0 : 1);
}).catch((why) => {
    console.error(why.message);
    process.exit(1);
});
