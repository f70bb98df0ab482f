//! The table of all cases, and the call that runs them.

/// Runs every case of the suite on the engines that `$harness` makes: one test per case, in a
/// module per family. The expression is evaluated anew for each.
#[macro_export]
macro_rules! suite {
    ($harness:expr) => {
        $crate::__each_case! { [tests $harness] }
    };
}

/// Hands the table of families and cases on to `__expand!`. The only place that names the cases.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_case {
    ($purpose:tt) => {
        $crate::__expand! { $purpose
            accounting {
                records_name_exactly_who_must_and_who_has
                figures_follow_every_step
                a_lease_counts_as_in_flight_to_its_end
                live_groups_are_listed_by_name
                what_is_owed_can_be_read_in_pages
                records_can_be_read_in_pages
                a_committed_settlement_counts_at_once
                members_count_what_they_do
            }
            closed {
                every_call_says_so
                members_say_so
                closing_again_changes_nothing
            }
            contention {
                f4_groups_that_settle_the_same_messages_neither_deadlock_nor_miscount
                f4_failures_and_settlements_of_many_groups_mix
            }
            dead_letters {
                the_last_attempt_makes_a_dead_letter
                with_one_attempt_the_first_failure_is_the_last
                texts_of_failures_are_kept_within_bounds
                a_retried_message_takes_any_text_too
                too_many_expired_leases_are_poison
                poison_keeps_what_the_last_failure_said
                releases_and_extensions_are_no_stalls
                giving_up_concerns_one_group
                dead_letters_are_listed_oldest_first
                dead_letters_outlive_their_topic
                dead_letters_outlive_their_subscription
            }
            dropped {
                a_dropped_publish_is_whole_or_nothing
                a_dropped_fetch_loses_nothing
                a_dropped_settlement_stands_or_not
                a_dropped_failure_counts_once_or_not
                a_dropped_subscribe_can_be_repeated
                a_dropped_cancellation_can_be_repeated
                dropped_pauses_and_beats_change_status_or_not
                a_dropped_creation_can_be_repeated
                a_dropped_deletion_can_be_repeated
                dropped_maintenance_can_be_repeated
                dropped_work_is_whole_or_nothing
                work_dropped_in_the_middle_leaves_nothing_behind
                transactions_dropped_often_leave_room
                a_dropped_commit_stands_or_not
            }
            fan_out {
                every_group_receives_every_message
                groups_go_at_their_own_pace
                a_later_group_gets_later_messages_only
                members_share_a_groups_messages
                topics_are_apart
                f5_the_required_set_is_fixed_at_publish
                f5_a_cancellation_shrinks_by_that_group_only
                f5_a_cancellation_can_complete_a_message
                f5_a_group_that_settled_stays_completed_after_its_cancellation
                a_new_group_inherits_nothing_of_a_cancelled_one
                many_groups_are_told_apart
            }
            leases {
                f3_concurrent_claims_never_overlap
                f3_concurrent_workers_settle_each_message_once
                a_lease_holds_to_its_end_and_no_longer
                an_expired_lease_is_redelivered_and_its_receipt_refused
                an_expired_lease_that_nobody_took_can_be_settled
                a_member_gets_its_own_expired_messages_again
                a_lease_can_be_extended
                a_lease_can_be_shortened
                extending_answers_for_each_receipt
                an_extension_must_be_a_valid_lease
                releasing_gives_back_at_once
                leaving_releases_what_is_in_hand
                dropping_a_member_is_a_crash
                attempts_count_failures_only
                a_fetch_keeps_to_its_limit
                the_lease_of_the_subscription_is_used
                a_clock_that_stands_still_or_steps_back_loses_nothing
            }
            lifecycle {
                a_group_that_never_subscribed_is_unknown
                a_paused_group_accumulates
                what_is_in_hand_settles_while_paused
                status_changes_are_dated
                a_cancellation_is_final
                a_cancelled_group_holds_nothing_back
                the_only_group_can_be_cancelled
                a_paused_group_can_be_cancelled
            }
            liveness {
                a_backlog_drains_after_all_members_crashed
                f1_unreliable_workers_settle_everything_once
                maintenance_runs_out_of_work
                maintenance_may_run_anywhere_and_at_any_time
            }
            members {
                joining_needs_a_live_subscription
                a_member_knows_its_subscription_and_name
                members_of_one_name_are_apart
                a_member_that_left_is_closed
                heartbeats_are_noted
                a_beat_tells_of_changes
            }
            publishing {
                ids_increase
                ids_follow_the_order_of_the_batch
                every_topic_has_ids_of_its_own
                an_empty_batch_is_refused
                a_bad_message_fails_its_whole_batch
                a_batch_is_checked_before_its_topic
                messages_arrive_as_they_were_published
                large_payloads_arrive
                large_batches_arrive
                concurrent_publishers_share_no_id
                one_message_is_published_by_the_short_form
            }
            queues {
                a_queue_has_its_subscription_from_the_start
                consumers_of_a_queue_share_its_messages
                a_queue_keeps_what_came_before_its_consumers
                groups_cannot_subscribe_to_a_queue
                joining_names_a_group_exactly_where_there_are_groups
                a_queue_can_be_paused_but_not_cancelled
            }
            races {
                concurrent_subscribes_of_a_group_make_one
                concurrent_subscribes_after_a_cancellation_make_one
                a_cancellation_meets_publishers
                a_cancellation_meets_settlements
                a_pause_meets_fetches
                a_deletion_meets_publishers
                a_deletion_meets_an_open_publish
                changes_of_status_meet
                a_release_meets_other_members
                an_extension_meets_the_end_of_the_lease
                failures_of_a_message_count_once
            }
            settling {
                each_verdict_has_its_outcome
                a_receipt_counts_once_in_a_call
                a_message_is_settled_once
                of_concurrent_settlements_one_takes_effect
                a_stale_receipt_keeps_no_other_from_its_effect
                settling_nothing_settles_nothing
                foreign_receipts_are_refused_with_all_of_their_call
                receipts_survive_serialisation
                any_member_of_the_group_may_settle
                a_failed_message_comes_back_when_it_is_due
                waits_are_spread_by_the_jitter
                without_a_wait_a_failed_message_is_due_at_once
                many_can_be_settled_in_one_call
            }
            subscribe_races {
                open_publish_then_subscribe_then_commit
                begin_then_subscribe_then_publish_then_commit
                open_publish_then_subscribe_then_rollback
                publish_on_both_sides_of_a_subscribe
                fetching_alone_finds_what_commits_late
                several_groups_subscribe_while_a_publish_is_open
                a_cancelled_groups_next_subscription_meets_an_open_publish
                f5_what_commits_after_a_subscribe_is_owed_and_nothing_before
            }
            subscribing {
                subscribing_makes_an_active_subscription
                every_option_round_trips
                invalid_options_are_refused
                what_needs_cursors_is_not_supported_yet
                subscribing_after_a_cancellation_starts_anew
                subscriptions_are_listed_by_group_and_age
                subscribing_again_moves_nothing
                subscribing_again_applies_options
                members_follow_new_options
                the_ordering_of_a_live_subscription_is_fixed
                subscribing_resumes_a_paused_group
                groups_have_a_bit_each
            }
            topic_deletion {
                deleting_is_refused_while_messages_are_owed
                one_group_that_owes_is_enough_to_refuse
                a_settled_topic_can_be_deleted
                a_forced_deletion_takes_everything
                a_recreated_topic_starts_empty
            }
            topics {
                what_is_created_can_be_read
                every_field_of_a_configuration_round_trips
                invalid_configurations_are_refused
                offset_watermark_is_not_supported_yet
                an_update_changes_what_it_names
                an_invalid_update_changes_nothing
                a_name_is_taken_once
                every_call_on_an_unknown_topic_says_so
                any_valid_name_works
                topics_are_listed_in_byte_order
                of_concurrent_creations_one_wins
            }
            transactional_conflicts {
                of_two_transactions_one_commits
                when_the_first_transaction_rolls_back_the_second_may_settle
                of_two_holders_of_a_message_one_commits
                of_many_transactions_one_commits
                overlapping_batches_do_not_deadlock
                an_open_settlement_makes_nobody_else_wait
                a_lease_may_end_inside_a_transaction
                a_cancellation_meets_an_open_settlement
                every_input_has_its_effect_once
                a_plain_settlement_meets_an_undone_one
            }
            transactional_publishing {
                nothing_is_delivered_before_the_commit
                nothing_remains_after_a_rollback
                dropping_a_transaction_undoes_it
                commits_out_of_the_order_of_ids_lose_nothing
                concurrent_transactions_lose_nothing
                a_transaction_may_publish_often_and_anywhere
                a_message_is_dated_when_it_is_published
                a_bad_batch_fails_in_a_transaction_too
                an_open_publish_makes_nobody_wait
                work_that_succeeds_is_committed
                work_that_fails_is_undone
                work_that_panics_is_undone
            }
            transactional_settling {
                a_commit_settles
                a_rollback_restores_everything
                dropping_the_transaction_restores_everything
                settling_nothing_is_fine
                one_stale_receipt_refuses_all
                every_kind_of_stale_receipt_is_refused
                receipts_of_several_groups_are_refused
                receipts_of_what_is_gone_are_refused
                consuming_and_producing_is_one_step
                an_expired_lease_that_nobody_took_settles
                work_that_fails_settles_nothing
            }
            zero_subscriptions {
                f6_writes_are_blocked_with_an_error_of_their_own
                f6_writes_in_transactions_are_blocked_when_they_are_made
                f6_a_paused_group_keeps_a_topic_open
                f6_the_last_cancellation_blocks_again
                f6_blocking_follows_the_configuration
                without_blocking_messages_are_owed_to_nobody
                f6_queues_never_block
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __expand {
    ([tests $harness:expr] $($family:ident { $($case:ident)* })*) => {
        $(mod $family {
            #[allow(unused_imports, reason = "the harness expression may need what is around it")]
            use super::*;

            $(#[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::cases::$family::$case($harness).await;
            })*
        })*
    };
    ([cases] $($family:ident { $($case:ident)* })*) => {
        $(#[allow(missing_docs, reason = "the names say it, and the cases in detail")]
        pub mod $family {
            $(pub async fn $case<H: $crate::Harness>(harness: H) {
                let name = concat!(stringify!($family), "::", stringify!($case));
                let case = async {
                    let fixture = $crate::stage::Fixture::new(harness).await;
                    $crate::families::$family::$case(&fixture).await;
                };
                $crate::stage::guarded(name, case).await;
            })*
        })*
    };
}

/// Every case over any engine, in a module per family.
pub mod cases {
    crate::__each_case! { [cases] }
}
