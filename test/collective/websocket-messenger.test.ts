import { messengerContract } from './messenger-contract.ts';
import { webSockets } from './websocket-worlds.ts';

messengerContract('over WebSockets', webSockets);
