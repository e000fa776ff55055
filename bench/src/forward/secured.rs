//! What SRTP costs beside forwarding, and nothing else: no replay lists, no checks, one key for each flow.

use raceway_srtp::{Batch, Job, Kind, Lanes, MasterKey, Sender, Suite};

/// A context for each flow, and what works on many packets together.
pub struct Secured {
    batch: Batch,
    senders: Vec<Sender>,
}

/// A packet at the beginning of its memory, and the flow that it is of.
pub struct Packet<'a> {
    pub flow: u32,
    pub memory: &'a mut [u8],
    pub octets: usize,
}

impl Secured {
    /// For so many flows, with the suite that calls are offered with.
    pub fn new(flows: u32) -> Self {
        let suite = Suite::Aes128CmSha1_80;
        let (key, salt) = (vec![1; suite.key_octets()], vec![2; suite.salt_octets()]);
        let master = MasterKey::new(suite, &key, &salt).expect("as long as the suite asks for");
        let senders = (0..flows).map(|_| Sender::new(&master, 1)).collect();
        Self { batch: Batch::new(Lanes::detect()), senders }
    }

    /// Makes SRTP of packets; gives how long each is then, in their order.
    pub fn protect<'a>(&mut self, packets: impl Iterator<Item = Packet<'a>>) -> Vec<usize> {
        let job = |packet: Packet<'a>| Job::new(packet.flow as usize, Kind::Rtp, packet.memory, packet.octets);
        let mut jobs: Vec<Job<'a>> = packets.map(job).collect();
        self.batch.protect(&mut self.senders[..], &mut jobs);
        jobs.into_iter().map(|job| job.octets).collect()
    }
}
