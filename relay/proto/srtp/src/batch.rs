//! Packets by the dozen.

use std::ops::IndexMut;

use arrayvec::ArrayVec;

use crate::error::SrtpError;
use crate::limits::{PACKET_MAX, TOGETHER};
use crate::receiver::{Guess, Receiver};
use crate::sender::{Sender, Tagged};
use crate::sha1::{Lanes, Message, TAG};
use crate::suite::Kind;

/// One packet to be protected or unprotected in place.
#[derive(Debug)]
pub struct Job<'a> {
    /// Index of its context in what the batch is given.
    pub context: usize,
    /// SRTP or SRTCP.
    pub kind: Kind,
    /// The packet, and room after it: protection appends up to [`crate::limits::OVERHEAD_MAX`] octets.
    pub buffer: &'a mut [u8],
    /// Octets of the packet, before and after. As before if it was refused.
    pub octets: usize,
    /// What became of it. The payload of a refused packet is of no use.
    pub result: Result<(), SrtpError>,
}

impl<'a> Job<'a> {
    /// A packet of `octets` at the beginning of a buffer, for the context with this index.
    ///
    /// # Panics
    /// The buffer is shorter than the packet.
    #[must_use]
    pub fn new(context: usize, kind: Kind, buffer: &'a mut [u8], octets: usize) -> Self {
        assert!(octets <= buffer.len(), "the packet is in the buffer");
        Self { context, kind, buffer, octets, result: Ok(()) }
    }

    /// The packet.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        &self.buffer[..self.octets]
    }

    pub(crate) fn packet_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.octets]
    }
}

/// Protects and unprotects packets: the tags of several are computed side by side. One for each thread; it keeps
/// [`PACKET_MAX`] octets and nothing of a packet.
///
/// Several jobs may be of one context. The result is the same as that of the jobs one after the other.
#[derive(Debug)]
pub struct Batch {
    lanes: Lanes,
    spare: Box<[u8]>,
}

impl Batch {
    /// With a way to compute HMAC-SHA1.
    #[must_use]
    pub fn new(lanes: Lanes) -> Self {
        Self { lanes, spare: vec![0; PACKET_MAX].into() }
    }

    /// Turns RTP into SRTP and RTCP into SRTCP, with the sender that each job names. Takes no memory.
    ///
    /// # Panics
    /// A job names a sender that there is not.
    pub fn protect<C: IndexMut<usize, Output = Sender> + ?Sized>(&mut self, senders: &mut C, jobs: &mut [Job<'_>]) {
        for jobs in jobs.chunks_mut(TOGETHER) {
            let mut waiting = ArrayVec::<(usize, Tagged), TOGETHER>::new();
            for (number, job) in jobs.iter_mut().enumerate() {
                match senders[job.context].protect(job) {
                    Ok(Some(tagged)) => waiting.push((number, tagged)),
                    Ok(None) => job.result = Ok(()),
                    Err(error) => job.result = Err(error),
                }
            }
            let message = |(number, tagged): &(usize, Tagged)| {
                let job: &Job<'_> = &jobs[*number];
                Message { key: senders[job.context].hmac(job.kind), octets: &job.buffer[..tagged.octets] }
            };
            let tags = tags(self.lanes, waiting.iter().map(message));
            for ((number, tagged), tag) in waiting.iter().zip(&tags) {
                let job = &mut jobs[*number];
                senders[job.context].append(job, tagged, tag);
                job.result = Ok(());
            }
        }
    }

    /// Turns SRTP into RTP and SRTCP into RTCP, with the receiver that each job names. Takes no memory.
    ///
    /// # Panics
    /// A job names a receiver that there is not.
    pub fn unprotect<C: IndexMut<usize, Output = Receiver> + ?Sized>(
        &mut self,
        receivers: &mut C,
        jobs: &mut [Job<'_>],
    ) {
        for jobs in jobs.chunks_mut(TOGETHER) {
            let mut guesses = ArrayVec::<(usize, Guess), TOGETHER>::new();
            for (number, job) in jobs.iter_mut().enumerate() {
                guesses.extend(receivers[job.context].guess(job).map(|guess| (number, guess)));
            }
            let message = |(number, guess): &(usize, Guess)| {
                let job: &Job<'_> = &jobs[*number];
                Message { key: receivers[job.context].hmac(job.kind), octets: &job.buffer[..guess.octets] }
            };
            let tags = tags(self.lanes, guesses.iter().map(message));
            let mut guesses = guesses.iter().zip(&tags).peekable();
            for (number, job) in jobs.iter_mut().enumerate() {
                let guess = guesses.next_if(|((guessed, _), _)| *guessed == number);
                let tagged = guess.map(|((_, guess), tag)| guess.tagged(job, tag));
                job.result = receivers[job.context].unprotect(job, tagged, &mut self.spare);
            }
        }
    }
}

fn tags<'a>(lanes: Lanes, messages: impl Iterator<Item = Message<'a>>) -> ArrayVec<[u8; TAG], TOGETHER> {
    let messages: ArrayVec<Message<'_>, TOGETHER> = messages.collect();
    let mut tags: ArrayVec<[u8; TAG], TOGETHER> = std::iter::repeat_n([0; TAG], messages.len()).collect();
    lanes.tags(&messages, &mut tags);
    tags
}
